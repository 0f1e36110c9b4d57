"use strict";
// Without this script both pictures stand side by side.
document.documentElement.classList.add("scripted");
for (const stage of document.querySelectorAll(".stage")) {
  const slider = stage.querySelector("input");
  const show = () => {
    stage.style.setProperty("--split", slider.value + "%");
    slider.setAttribute("aria-valuetext", slider.value + " % original, " + (100 - slider.value) + " % enhanced");
  };
  slider.hidden = false;
  slider.addEventListener("input", show);
  show();
}
