"""The servers that are measured, each as a program of its own."""
