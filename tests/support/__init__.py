"""What tests of several folders share: clients and calls, wires, browsers, processes, waiting."""
