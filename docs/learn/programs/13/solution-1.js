const { X509Certificate } = require("node:crypto");
const { readFileSync } = require("node:fs");

const DAY = 24 * 60 * 60 * 1000;

function endsSoon(certificate, now) {
  return new Date(certificate.validTo) - now < 14 * DAY;
}

const certificate = new X509Certificate(readFileSync("build/production/certs/server.pem"));
const end = new Date(certificate.validTo);
const found = [15, 13, 0].map((days) => endsSoon(certificate, new Date(end - days * DAY)));

console.log(found.map((soon) => (soon ? "ends soon" : "fine")).join(", "));
if (String(found) !== "false,true,true") {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
