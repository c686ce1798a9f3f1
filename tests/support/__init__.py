"""What tests of several folders share: clients, calls, images, certificates, browsers, processes, waiting."""
