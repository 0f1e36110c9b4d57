"""HQG-Net: guided, unpaired enhancement of medical images, ready to be trained across hospitals.

The package holds the paper's networks, losses, data handling and training; it never imports Flower, so that
images can be enhanced wherever torch runs. Importing it is cheap: torch and MONAI load with the modules that
need them.
"""

__version__ = "0.1.0"
