async function main() {
  const response = await fetch("http://localhost:50051/user.UsuarioServicio/GetUser", {
    method: "POST",
    headers: { "content-type": "application/json", origin: "https://shop.example" },
    body: JSON.stringify({ name: "Nora", pow: 12 }),
    signal: AbortSignal.timeout(10_000),
  });
  const error = await response.json();
  console.log(response.status, error.message);
}

main();
