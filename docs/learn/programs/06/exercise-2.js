const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const names = [];
const call = client.GetUserBidiStream({ deadline: Date.now() + 10_000 });
call.on("data", (reply) => {
  names.push(reply.name);
  if (names.length === 4) call.end();
});
call.on("error", () => {});
call.on("status", ({ code }) => {
  client.close();
  console.log(...names, grpc.status[code]);
  if (String(names) !== "Aina,Biel" || code !== grpc.status.CANCELLED) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
for (const name of ["Aina", "Biel", "Cora", "Dídac"]) call.write({ name });
