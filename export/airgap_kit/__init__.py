"""What goes into a kit as it is, and the words of its README."""
