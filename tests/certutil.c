// What Windows' own tool answers to `certutil -hashfile FILE SHA256`; Wine has none.
#include <stdio.h>
#include <windows.h>
#include <bcrypt.h>

int main(int argc, char **argv) {
    FILE *file = argc == 4 ? fopen(argv[2], "rb") : NULL;
    if (!file) return 1;
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_HASH_HANDLE hash;
    unsigned char block[1 << 16], digest[32];
    BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, 0);
    BCryptCreateHash(algorithm, &hash, NULL, 0, NULL, 0, 0);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) BCryptHashData(hash, block, n, 0);
    BCryptFinishHash(hash, digest, sizeof digest, 0);
    printf("SHA256 hash of %s:\n", argv[2]);
    for (int k = 0; k < 32; k++) printf("%02x", digest[k]);
    printf("\nCertUtil: -hashfile command completed successfully.\n");
    return 0;
}
