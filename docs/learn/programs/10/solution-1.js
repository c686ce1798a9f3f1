async function main() {
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "Iker", pow: 100_000 }),
    signal: AbortSignal.timeout(10_000),
  });
  const reply = await response.json();
  const answer = Number(reply.user.powSquared) + 1;

  console.log(String(answer));
  if (Number(answer) !== 10_000_000_001) {
    console.error("Not yet · Todavía no");
    process.exitCode = 1;
  }
}

main();
