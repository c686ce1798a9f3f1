const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const options = { keepCase: true, includeDirs: ["proto"] };
const files = ["user.proto", "conexiones/v1/images.proto"];
const { user, conexiones } = grpc.loadPackageDefinition(loader.loadSync(files, options));
const nobody = grpc.credentials.createInsecure();
const users = new user.UsuarioServicio("localhost:50051", nobody);
const images = new conexiones.v1.ImageService("localhost:50051", nobody);

const image = fs.readFileSync("client/image/elephant.jpg");
users.ProcessImage({ image }, { deadline: Date.now() + 60_000 }, async (error, reply) => {
  if (error) throw error;
  let received = Buffer.alloc(0);
  for await (const frame of images.DownloadImage({ id: reply.image_info.id }, { deadline: Date.now() + 60_000 })) {
    received = Buffer.concat([received, frame.data]);
  }
  console.log(received.length, received.equals(image));
  users.close();
  images.close();
});
