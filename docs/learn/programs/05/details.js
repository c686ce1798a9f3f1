const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const client = new user.UsuarioServicio("localhost:50051", grpc.credentials.createInsecure());

const { root } = protobuf.parse(
  `syntax = "proto3";
   package google.rpc;
   message Any { string type_url = 1; bytes value = 2; }
   message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
   message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
   message LocalizedMessage { string locale = 1; string message = 2; }
   message BadRequest {
     message FieldViolation { string field = 1; string description = 2; }
     repeated FieldViolation field_violations = 1;
   }`,
  { keepCase: true },
);

client.GetUser({ name: "ñ".repeat(300) }, { deadline: Date.now() + 10_000 }, (error) => {
  client.close();
  console.log(grpc.status[error.code], error.details);
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = {};
  for (const { type_url, value } of root.lookupType("google.rpc.Status").decode(bytes).details) {
    const name = type_url.split("/").pop();
    details[name.split(".").pop()] = root.lookup(name)?.decode(value);
  }
  const { ErrorInfo, LocalizedMessage, BadRequest } = details;
  console.log(ErrorInfo.reason, ErrorInfo.metadata.limit, ErrorInfo.metadata.actual);
  console.log(LocalizedMessage.locale, LocalizedMessage.message);
  console.log(BadRequest.field_violations[0].field);
});
