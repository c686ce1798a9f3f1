curl -sS -v --http1.1 -X POST -d '' \
  -H 'content-type: application/grpc-web+proto' -H 'grpc-timeout: 1n' \
  http://localhost:50051/user.UsuarioServicio/GetUser 2>&1 |
  grep -E '^[<>] grpc-(timeout|status|message):' | tr -d '\r'
