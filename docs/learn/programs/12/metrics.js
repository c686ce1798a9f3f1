const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { serve } = require("../11/serve.cjs");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));

async function main() {
  const server = await serve({ "admin-address": "127.0.0.1:0" });
  const client = new user.UsuarioServicio(server.address, grpc.credentials.createInsecure());
  const getUser = promisify(client.GetUser).bind(client);
  for (const name of ["Nora", "Iker", ""]) {
    try {
      await getUser({ name }, { deadline: Date.now() + 10_000 });
    } catch (error) {
      console.log(grpc.status[error.code]);
    }
  }
  client.close();
  const response = await fetch(`http://${server.adminAddress}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const lines = (await response.text()).split("\n");
  await server.stop();

  const shown = /^(rpc_server_call_duration_seconds_count|conexiones_refusals_total{reason="EMPTY_NAME"})/;
  for (const line of lines) if (shown.test(line)) console.log(line);
}

main();
