const path = require("node:path");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "solution_2.proto"), { keepCase: true });
const { field, reservedRange, reservedName } = definition["user.GetUserRequest"].type;

console.log(...field.map(({ name }) => name));
if (reservedRange[0]?.start !== 2 || reservedName[0] !== "pow") {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
