const path = require("node:path");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync(path.join(__dirname, "solution_2.proto"), { keepCase: true });
const { field, reservedRange, reservedName } = definition["user.GetUserRequest"].type;

const fields = field.map(({ name, number }) => `${name} ${number}`);
const number = reservedRange.some(({ start, end }) => start <= 2 && 2 <= end);
console.log(...field.map(({ name }) => name));
if (String(fields) !== "name 1,image 3" || !number || !reservedName.includes("pow")) {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
