conexiones hello Nora --pow 12 --wire 2>&1 | grep -A 3 GetUserRequest
