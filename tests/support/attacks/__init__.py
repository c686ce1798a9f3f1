"""What one greedy client does to a server: attacks, each an asynchronous function of a Target and a Tally.

    messages     compressed, large, slow and odd messages
    pictures     images and renditions that cost much
    connections  connections and streams that ask nothing
    uploads      uploads that hold room
    downloads    replies that are not read, ranges, lists
    heavy        honest use, as much as one client can
    h2, slow     frames of HTTP/2 and slow requests, as h2spec and slowhttptest know them

An attack runs until it is cancelled, counts in its Tally what it did, and opens its connections from the
Target's source address. Attacks are for this project's server on loopback addresses: a Target refuses others.
"""
