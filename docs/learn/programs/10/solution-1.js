async function main() {
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "Iker", pow: 100_000 }),
    signal: AbortSignal.timeout(10_000),
  });
  const reply = await response.json();
  const square = Number(reply.user.powSquared);

  console.log(square + 1);
  if (square + 1 !== 10_000_000_001) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
