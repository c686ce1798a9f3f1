conexiones hello Nora --pow 12 --wire --protocol grpc-web 2>&1 | grep -A 2 TRAILERS
