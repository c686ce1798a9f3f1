node --test docs/learn/programs/11/test_square.js | grep -o 'pass [0-9]*\|fail [0-9]*'
