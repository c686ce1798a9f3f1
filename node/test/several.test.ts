// Clients of several servers that share their data.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as grpc from "@grpc/grpc-js";
import { UnreachableError } from "conexiones";

import { StatusService } from "../src/gen/conexiones/v1/status_pb.js";
import { Rpc } from "../src/rpc.js";
import { Shown } from "../src/shown.js";

describe("a client of several servers", () => {
  it("names the one that did not answer, also where another call has gone on at the next one", async () => {
    const shown = new Shown(undefined, undefined);
    const security = { encrypted: false, cert: false };
    const rpc = new Rpc("127.0.0.1:1,127.0.0.1:2", grpc.credentials.createInsecure(), security, shown, {});
    const { place } = rpc;
    const calls = await Promise.allSettled([1, 2, 3].map(() => rpc.unary(StatusService.method.getStatus, {})));
    rpc.close();
    for (const call of calls) {
      assert.ok(call.status === "rejected" && call.reason instanceof UnreachableError);
      assert.equal(call.reason.facts["address"], place);
    }
  });
});
