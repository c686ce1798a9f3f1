// A peer: @tus/server with its file store. Usage: node tus.mjs FOLDER
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const server = new Server({ path: "/files", datastore: new FileStore({ directory: process.argv[2] }) });
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(`@tus/server listens on 127.0.0.1:${listening.address().port} `);
});
