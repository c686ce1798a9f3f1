// A peer: @grpc/grpc-js, which answers GetUser from memory and stores nothing. Usage: node grpc_js.mjs PROTO
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const users = new Map();
const { user } = grpc.loadPackageDefinition(loader.loadSync(process.argv[2], { keepCase: true, longs: String }));
const server = new grpc.Server();
server.addService(user.UsuarioServicio.service, {
  GetUser({ request: { name, pow } }, reply) {
    if (pow) users.set(name, pow);
    const known = users.get(name) ?? 0;
    const squared = String(BigInt(known) ** 2n);
    const message = `¡Hola, ${name}! Tu pow es ${known} y su cuadrado es ${squared}.`;
    reply(null, { message, user: { name, pow: known, pow_squared: squared } });
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`@grpc/grpc-js listens on 127.0.0.1:${port} `);
});
