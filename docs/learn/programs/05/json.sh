curl -sS -H 'content-type: application/json' -d '{"name": ""}' \
  http://localhost:50051/user.UsuarioServicio/GetUser |
  python -m json.tool --no-ensure-ascii | head -n 3
