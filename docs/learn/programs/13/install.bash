python3 -m venv /opt/conexiones && /opt/conexiones/bin/pip install '.[server]'
install -D -m 644 deploy/systemd/conexiones.service /etc/systemd/system/conexiones.service
install -D -m 644 docs/learn/programs/13/tls.conf /etc/systemd/system/conexiones.service.d/tls.conf
install -D -m 600 -t /etc/conexiones server.pem server.key docs/learn/programs/13/conexiones.env
systemctl daemon-reload && systemctl enable --now conexiones
