mkdir -p build/learn
python -m grpc_tools.protoc -I docs/learn/programs/02 \
  --python_out=build/learn --grpc_python_out=build/learn tutorial.proto
ls build/learn
