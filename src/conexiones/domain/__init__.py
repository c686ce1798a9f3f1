"""All rules about users and images. No module here imports what does I/O."""
