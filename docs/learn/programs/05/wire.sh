printf '\000\000\000\000\000' |
  curl -sS -v --http2-prior-knowledge --data-binary @- \
    -H 'content-type: application/grpc' -H 'te: trailers' \
    http://localhost:50051/user.UsuarioServicio/GetUser 2>&1 |
  grep '^< grpc-' | cut -c 1-100 | tr -d '\r'
