const { promisify } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());
const getUser = promisify(client.GetUser).bind(client);

const { root } = protobuf.parse(
  `syntax = "proto3";
   package google.rpc;
   message Any { string type_url = 1; bytes value = 2; }
   message Status { repeated Any details = 3; }
   message ErrorInfo { string reason = 1; }`,
  { keepCase: true },
);
const [Status, ErrorInfo] = ["Status", "ErrorInfo"].map((name) => root.lookupType(`google.rpc.${name}`));

function reason(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const detail = Status.decode(bytes).details.find(({ type_url }) => type_url.endsWith("/google.rpc.ErrorInfo"));
  return ErrorInfo.decode(detail.value).reason;
}

async function main() {
  const found = [];
  for (const name of ["", "x".repeat(257)]) {
    try {
      await getUser({ name }, { deadline: Date.now() + 10_000 });
    } catch (error) {
      found.push(reason(error));
    }
  }
  client.close();

  console.log(found.join("\n"));
  if (String(found) !== "EMPTY_NAME,NAME_TOO_LONG") {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
