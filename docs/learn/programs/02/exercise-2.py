import sys

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto

request = DescriptorProto()
grpc.protos("exercise_2.proto").GetUserRequest.DESCRIPTOR.CopyToProto(request)

print(*[field.name for field in request.field])
if [one.start for one in request.reserved_range] != [2] or request.reserved_name != ["pow"]:
    sys.exit("Not yet · Todavía no")
