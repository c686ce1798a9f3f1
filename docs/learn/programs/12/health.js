const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const contract = loader.loadSync("docs/learn/programs/12/health_check.proto", { enums: String });
const { health } = grpc.loadPackageDefinition(contract).grpc;
const client = new health.v1.Health("localhost:50051", grpc.credentials.createInsecure());

client.Check({}, { deadline: Date.now() + 10_000 }, (error, reply) => {
  if (error) throw error;
  console.log(reply.status);
  client.close();
});
