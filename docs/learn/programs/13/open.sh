conexiones serve --address 0.0.0.0:50051 --data-dir build/production/data
echo "exit status $?"
