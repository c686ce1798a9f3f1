conexiones certs build/certs
conexiones serve --address localhost:50443 --data-dir build/secure --auth required \
  --tls-cert build/certs/server.pem --tls-key build/certs/server.key
