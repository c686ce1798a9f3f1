// Programs that fetch exactly one image, to be copied.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { extension } from "./image";

export interface Command {
  name: string;
  text: string;
}

/** Of the server that this page is from; they write the file beside where they run. */
export function commands({ id, format }: Image, { origin, host, protocol }: Location): Command[] {
  const file = `${id}.${extension(format)}`;
  // A port is always said: without one, gRPC has another default than browsers.
  const tls = protocol === "https:";
  const address = /:\d+$/.test(host) ? host : `${host}:${tls ? 443 : 80}`;
  return [
    {
      name: "Python",
      text: [
        "from conexiones import Client",
        "",
        `with Client("${address}"${tls ? ", tls=True" : ""}) as client:`,
        `    client.download("${id}", "${file}")`,
      ].join("\n"),
    },
    {
      name: "Node",
      text: [
        'import { Client } from "conexiones";',
        "",
        `const client = new Client({ address: "${address}"${tls ? ", tls: true" : ""} });`,
        `await client.download("${id}", "${file}");`,
        "client.close();",
      ].join("\n"),
    },
    { name: "CLI", text: `conexiones get ${id} --output ${file} --address ${address}${tls ? " --tls" : ""}` },
    { name: "curl", text: `curl --fail --output ${file} ${origin}/images/${id}` },
  ];
}
