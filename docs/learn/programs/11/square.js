const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

exports.square = async (address, name, pow) => {
  const client = new user.UsuarioServicio(address, grpc.credentials.createInsecure());
  const getUser = promisify(client.GetUser).bind(client);
  try {
    const reply = await getUser({ name, pow }, { deadline: Date.now() + 10_000 });
    return Number(reply.user.pow_squared);
  } finally {
    client.close();
  }
};
