printf '\012\004Olga\020\005' |
  curl -sS -H 'content-type: application/proto' --data-binary @- \
    http://localhost:50051/user.UsuarioServicio/GetUser |
  python -m grpc_tools.protoc --decode_raw
