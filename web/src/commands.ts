// Programs that fetch one image, for the user to copy.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { extension } from "./image";

export interface Command {
  name: string;
  text: string;
}

/** Programs that fetch the image from this page's server, into a file in the current folder. They take a token from the
 *  variable CONEXIONES_TOKEN, which all but curl do by themselves. */
export function commands({ id, format }: Image, { origin, host, protocol }: Location, withToken: boolean): Command[] {
  const file = `${id}.${extension(format)}`;
  // The address always has a port, because the default port of gRPC is not that of browsers.
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
    { name: "curl", text: `curl --fail${withToken ? ' --header "authorization: Bearer $CONEXIONES_TOKEN"' : ""} --output ${file} ${origin}/images/${id}` },
  ];
}
