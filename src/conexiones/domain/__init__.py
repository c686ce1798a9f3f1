"""Every rule about users and images. No I/O library is imported here."""
