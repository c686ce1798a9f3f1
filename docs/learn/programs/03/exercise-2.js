const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const users = [
  { name: "Tomás", pow: 3 },
  { name: "", pow: 4 },
  { name: "Uxía", pow: 50_000 },
];
const served = [];
const refused = [];

const call = client.GetUserBidiStream({ deadline: Date.now() + 10_000 });
call.on("data", (reply) => {
  served.push(reply.pow);
});
call.on("end", () => {
  client.close();
  console.log(JSON.stringify([served, refused]));
  if (String(served) !== "9" || String(refused) !== "EMPTY_NAME,POW_OVERFLOW") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
});
for (const one of users) call.write(one);
call.end();
