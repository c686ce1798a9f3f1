const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const { user } = grpc.loadPackageDefinition(loader.loadSync("proto/user.proto", { keepCase: true }));
const serialize = user.UsuarioServicio.service.GetStreamImage.requestSerialize;
const message = serialize({ image: Buffer.alloc(65_536) });
console.log(message.length, message.toString("hex", 0, 4).replace(/..(?=.)/g, "$& "));
