async function main() {
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "Nora", pow: 12 }),
    signal: AbortSignal.timeout(10_000),
  });
  const reply = await response.json();
  console.log(reply.message);
}

main();
