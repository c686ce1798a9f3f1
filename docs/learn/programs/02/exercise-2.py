import sys

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto

request = DescriptorProto()
grpc.protos("exercise_2.proto").GetUserRequest.DESCRIPTOR.CopyToProto(request)

fields = {field.name: field.number for field in request.field}
number = any(2 in range(one.start, one.end) for one in request.reserved_range)
print(*fields)
if fields != {"name": 1, "image": 3} or not number or "pow" not in request.reserved_name:
    sys.exit("Not yet · Todavía no")
