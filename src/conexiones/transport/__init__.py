"""How calls reach the services, and how they are answered.

Envoy gives each request to single_loop.py, and that to front.py, where router.py makes a call of it. The call
goes through the chain to the endpoint of its route.

    process/          the supervisor, and Envoy with the application inside
    single_loop.py    the one event loop on which the application runs
    front.py          the ASGI application: its chain and its lifespan
    router.py         from a request to its call: the route, the protocol, the deadline
    chain/            the call, and the steps around every call
    rpc/              gRPC and Connect
    http/             plain HTTP: images and the page
"""
