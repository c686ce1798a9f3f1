conexiones certs --replace build/production/certs
