conexiones hello Carla --wire 2>&1 | grep -oE '(→|←) +1 +(HEADERS|DATA)|grpc-status.*'
