const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const bytes = user.UsuarioServicio.service.GetUser.requestSerialize({ name: "Nora", pow: 12 });
console.log(bytes.toString("hex").replace(/..(?=.)/g, "$& "));
