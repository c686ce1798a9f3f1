rm -rf build/production/restored
conexiones backup --data-dir build/production/data build/production/backups
conexiones restore build/production/backups --data-dir build/production/restored | grep -o '[^/]*$'
conexiones verify --data-dir build/production/restored
