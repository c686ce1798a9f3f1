"""Plain HTTP: images and the page."""
