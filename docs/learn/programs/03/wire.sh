mkdir -p build
printf '\000\000\000\000\010\012\004Sara\020\004\000\000\000\000\010\012\004Sara\020\005' |
  curl -sS -v --http2-prior-knowledge --data-binary @- -o build/replies \
    -H 'content-type: application/grpc' -H 'te: trailers' \
    http://localhost:50051/user.UsuarioServicio/GetUserBidiStream 2>&1 |
  grep '^<' | grep -v date | tr -d '\r'
od -A d -t x1z -j 5 -N 8 build/replies
