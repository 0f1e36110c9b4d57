"""A hospital's daemon: keeps the site in its federation, stands between Flower and the code that trains."""
